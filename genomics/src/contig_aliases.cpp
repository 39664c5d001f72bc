#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "flagen/error.h"
#include "flagen/genomics/contig_table.h"

namespace flagen::genomics {

ContigAliases ContigAliases::load(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    FLAGEN_USER_CHECK(UserFault::kInputFile, in.is_open(), "cannot open the alias table: ", path,
                      " (", std::strerror(errno), ")");
    ContigAliases aliases;
    std::string line;
    for (std::int64_t number = 1; std::getline(in, line); ++number) {
        if (!line.empty() && line.back() == '\r') {
            line.pop_back();
        }
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const std::size_t tab = line.find('\t');
        const bool two_columns = tab != std::string::npos && tab > 0 && tab + 1 < line.size() &&
                                 line.find('\t', tab + 1) == std::string::npos;
        FLAGEN_USER_CHECK(UserFault::kInputFile, two_columns,
                          "alias table row is not alias<TAB>name: \"", line.substr(0, 200), "\" (",
                          path, ", line ", number, ")");
        const std::string alias = line.substr(0, tab);
        const std::string name = line.substr(tab + 1);
        const auto [entry, added] = aliases.names_.emplace(alias, name);
        FLAGEN_USER_CHECK(UserFault::kInputFile, added || entry->second == name,
                          "alias stands for two contigs: ", alias, " for ", entry->second, " and ",
                          name, " (", path, ", line ", number, ")");
    }
    FLAGEN_USER_CHECK(UserFault::kInputFile, !in.bad(), "cannot read the alias table: ", path, " (",
                      std::strerror(errno), ")");
    return aliases;
}

std::string ContigAliases::resolve(const std::string& alias) const {
    const auto found = names_.find(alias);
    return found == names_.end() ? alias : found->second;
}

std::optional<std::size_t> ContigAliases::find(const ContigTable& contigs,
                                               const std::string& name) const {
    const auto exact = contigs.find(name);
    return exact ? exact : contigs.find(resolve(name));
}

}  // namespace flagen::genomics
