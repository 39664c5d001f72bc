#include "variant_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <unordered_map>

#include "flagen/error.h"

namespace flagen::genomics {

std::vector<VariantRegion> join_regions(const std::vector<Interval>& regions) {
    std::vector<std::vector<Interval>> by_contig;
    std::unordered_map<std::string, std::size_t> place;
    for (const Interval& region : regions) {
        FLAGEN_CHECK(region.start_bp <= region.end_bp, "region is reversed: ", region.contig, ":",
                     region.start_bp, "..", region.end_bp);
        const auto [found, added] = place.emplace(region.contig, by_contig.size());
        if (added) {
            by_contig.emplace_back();
        }
        by_contig[found->second].push_back(region);
    }
    std::vector<VariantRegion> joined;
    for (std::vector<Interval>& same : by_contig) {
        std::sort(same.begin(), same.end(), [](const Interval& left, const Interval& right) {
            return left.start_bp < right.start_bp;
        });
        std::int64_t previous_end = std::numeric_limits<std::int64_t>::min();
        const std::size_t first = joined.size();
        for (const Interval& region : same) {
            if (joined.size() > first && region.start_bp <= joined.back().end_bp) {
                joined.back().end_bp = std::max(joined.back().end_bp, region.end_bp);
            } else {
                joined.push_back({region.contig, region.start_bp, region.end_bp, previous_end});
            }
            previous_end = joined.back().end_bp;
        }
    }
    return joined;
}

std::string absolute_path(const std::string& path) {
    return std::filesystem::absolute(path).string();
}

std::string find_variant_index(const std::string& path, bool bcf) {
    const std::string command = bcf ? "bcftools index " : "tabix -p vcf ";
    struct stat file = {};
    struct stat index = {};
    for (const char* suffix : {".csi", ".tbi"}) {
        const std::string index_path = path + suffix;
        if (bcf && index_path.ends_with(".tbi")) {
            break;
        }
        if (stat(path.c_str(), &file) != 0 || stat(index_path.c_str(), &index) != 0) {
            continue;
        }
        // Whole seconds, as HTSlib compares them: copying a folder shuffles what is finer.
        FLAGEN_USER_CHECK(UserFault::kInputFile, index.st_mtime >= file.st_mtime,
                          "index is older than its file: ", index_path,
                          "; make it again: ", command, "-f ", path);
        return index_path;
    }
    throw_user_error(UserFault::kInputFile,
                     "region query needs an index, and none is beside: ", path,
                     "; make one: ", command, path);
}

}  // namespace flagen::genomics
