#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "flagen/models/checkpoint_folder.h"

namespace flagen::models {

inline constexpr char kManifestName[] = "manifest.json";
inline constexpr std::int64_t kSchemaVersion = 1;

/// A checkpoint of a later version of flagen: no reason to fall back to an older checkpoint.
class NewerSchemaError : public UserError {
  public:
    using UserError::UserError;
};

/// JSON text whose "digest" is the SHA-256 of the text itself with 64 zeros in the digest's place,
/// so that every byte of it is covered. Later schemas keep this rule.
[[nodiscard]] std::string manifest_text(std::int64_t step,
                                        const std::map<std::string, FileRecord>& files,
                                        std::int64_t schema_version = kSchemaVersion);

/// Reads what manifest_text() wrote; `path` is for messages.
/// @throws UserError (kInputFile), NewerSchemaError among them.
void parse_manifest(const std::string& text, const std::string& path,
                    VerifiedCheckpoint& checkpoint);

}  // namespace flagen::models
