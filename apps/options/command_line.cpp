#include "apps/options/command_line.h"

#include <boost/program_options/errors.hpp>
#include <boost/program_options/parsers.hpp>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <utility>

#include "flagen/error.h"
#include "flagen/problems.h"

namespace flagen::apps {

namespace po = boost::program_options;

CommandLine::CommandLine(std::string usage, std::string summary)
    : usage_(std::move(usage)), summary_(std::move(summary)) {
    options_.add_options()("help,h", "show this help");
}

void CommandLine::add_positional(const std::string& name, std::vector<std::string>* values,
                                 int max_count) {
    positional_options_.add_options()(name.c_str(), po::value(values));
    positional_.add(name.c_str(), max_count);
}

bool CommandLine::parse(const std::vector<std::string>& arguments) {
    po::options_description all;
    all.add(options_).add(positional_options_);
    try {
        // Abbreviated options are refused: a script must not change its meaning with a new option.
        const int style = po::command_line_style::unix_style ^ po::command_line_style::allow_guessing;
        po::store(po::command_line_parser(arguments).options(all).positional(positional_).style(style).run(),
                  values_);
        if (values_.count("help") > 0) {
            std::fputs(help().c_str(), stdout);
            return false;
        }
        po::notify(values_);
    } catch (const po::unknown_option& error) {
        std::vector<std::string> names;
        for (const auto& option : options_.options()) {
            names.push_back("--" + option->long_name());
        }
        throw_user_error(UserFault::kConfig, "unknown option: ", error.get_option_name(),
                         did_you_mean(error.get_option_name(), names), " (usage: flagen ", usage_, ")");
    } catch (const po::error& error) {
        throw_user_error(UserFault::kConfig, error.what(), " (usage: flagen ", usage_, ")");
    }
    return true;
}

std::string CommandLine::help() const {
    std::ostringstream out;
    out << "usage: flagen " << usage_ << "\n\n" << summary_ << "\n\n" << options_;
    return out.str();
}

std::vector<std::int64_t> parse_int_list(const std::string& text, const std::string& option) {
    std::vector<std::int64_t> numbers;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
        if (error != std::errc{} || end != part.data() + part.size()) {
            throw_user_error(UserFault::kConfig, "not a list of whole numbers: \"", text, "\" (", option,
                             ", expected for example 0,8,16)");
        }
        numbers.push_back(number);
    }
    if (numbers.empty()) {
        throw_user_error(UserFault::kConfig, "the list is empty (", option, ")");
    }
    return numbers;
}

std::string int_list_text(const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const std::int64_t number : numbers) {
        if (!text.empty()) {
            text += ',';
        }
        text += std::to_string(number);
    }
    return text;
}

}  // namespace flagen::apps
