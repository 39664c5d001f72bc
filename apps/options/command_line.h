#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/variables_map.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace flagen::apps {

/// Options of one command; its help text comes from the same table that parses.
class CommandLine {
  public:
    /// `usage` is what follows "flagen ", for example "train CONFIG --out DIR [options]".
    CommandLine(std::string usage, std::string summary);

    /// Adds options in Boost's notation: line.options().add_options()("out,o", value(&out), "...").
    [[nodiscard]] boost::program_options::options_description& options() { return options_; }

    /// A positional argument; the last one may repeat (`max_count` -1).
    void add_positional(const std::string& name, std::vector<std::string>* values, int max_count);

    /// Parses. Returns false after printing the help that was asked for.
    /// @throws UserError (kConfig) for an unknown option (with the nearest one), a bad value, or a
    ///         missing required option.
    [[nodiscard]] bool parse(const std::vector<std::string>& arguments);

    /// Whether the user gave the option.
    [[nodiscard]] bool given(const std::string& name) const {
        return values_.count(name) > 0 && !values_[name].defaulted();
    }

  private:
    [[nodiscard]] std::string help() const;

    std::string usage_;
    std::string summary_;
    boost::program_options::options_description options_{"options", 100, 60};
    boost::program_options::options_description positional_options_;
    boost::program_options::positional_options_description positional_;
    boost::program_options::variables_map values_;
};

/// "0,8,16" as numbers. @throws UserError (kConfig) naming `option` and the text.
[[nodiscard]] std::vector<std::int64_t> parse_int_list(const std::string& text,
                                                       const std::string& option);
/// The same text back.
[[nodiscard]] std::string int_list_text(const std::vector<std::int64_t>& numbers);

}  // namespace flagen::apps
