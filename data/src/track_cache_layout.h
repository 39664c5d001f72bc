#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>

namespace flagen::data {

inline constexpr std::int64_t kTrackCacheSchema = 1;
inline constexpr const char* kTargetsName = "/targets";

/// Tracks that one chunk holds.
[[nodiscard]] inline std::int64_t tracks_per_chunk(std::int64_t num_tracks) {
    return std::min<std::int64_t>(num_tracks, 256);
}
[[nodiscard]] inline std::int64_t chunks_per_window(std::int64_t num_tracks) {
    const std::int64_t width = tracks_per_chunk(num_tracks);
    return (num_tracks + width - 1) / width;
}

[[nodiscard]] inline std::string cache_file(const std::string& folder) {
    return (std::filesystem::path(folder) / "tracks.h5").string();
}
[[nodiscard]] inline std::string manifest_file(const std::string& folder) {
    return (std::filesystem::path(folder) / "manifest.json").string();
}

}  // namespace flagen::data
