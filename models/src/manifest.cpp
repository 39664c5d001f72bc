#include "manifest.h"

#include "flagen/json_object.h"
#include "flagen/sha256.h"

namespace flagen::models {
namespace {

constexpr char kDigestMarker[] = "\"digest\": \"";
constexpr std::size_t kDigestLength = 64;

}  // namespace

std::string manifest_text(std::int64_t step, const std::map<std::string, FileRecord>& files,
                          std::int64_t schema_version) {
    JsonObject manifest;
    manifest.set("digest", std::string(kDigestLength, '0'));
    manifest.set("schema_version", schema_version);
    manifest.set("step", step);
    JsonObject records = manifest.set_object("files");
    for (const auto& [name, record] : files) {
        JsonObject entry = records.set_object(name);
        entry.set("bytes", static_cast<std::int64_t>(record.num_bytes));
        entry.set("sha256", record.sha256);
    }
    std::string text = manifest.dump(2) + "\n";
    // Keys are sorted, so the first match is the digest and not a part of "files".
    const std::size_t at = text.find(kDigestMarker) + sizeof(kDigestMarker) - 1;
    return text.replace(at, kDigestLength, sha256_of(text));
}

void parse_manifest(const std::string& text, const std::string& path,
                    VerifiedCheckpoint& checkpoint) {
    const std::size_t marker = text.find(kDigestMarker);
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      marker != std::string::npos &&
                          text.size() - marker >= sizeof(kDigestMarker) - 1 + kDigestLength,
                      "manifest has no digest: ", path);
    const std::size_t at = marker + sizeof(kDigestMarker) - 1;
    std::string zeroed = text;
    zeroed.replace(at, kDigestLength, std::string(kDigestLength, '0'));
    FLAGEN_USER_CHECK(UserFault::kInputFile,
                      text.compare(at, kDigestLength, sha256_of(zeroed)) == 0,
                      "manifest does not match its digest: ", path);

    JsonObject manifest = JsonObject::parse(text, path, UserFault::kInputFile);
    const std::int64_t schema = manifest.require_int("schema_version", 1);
    if (schema > kSchemaVersion) {
        throw NewerSchemaError(UserFault::kInputFile,
                               "checkpoint is of schema " + std::to_string(schema) +
                                   ", newer than " + std::to_string(kSchemaVersion) +
                                   " which this flagen reads: " + path +
                                   "; use the version that wrote it or a later one");
    }
    manifest.ignore("digest");
    checkpoint.step = manifest.require_int("step", 0);
    JsonObject records = manifest.get_object("files");
    for (const std::string& name : records.keys()) {
        JsonObject entry = records.get_object(name);
        FileRecord record;
        record.num_bytes = static_cast<std::uint64_t>(entry.require_int("bytes", 0));
        record.sha256 = entry.require_string("sha256");
        if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
            entry.add_problem("", "not a file name");
        }
        checkpoint.files[name] = std::move(record);
    }
    manifest.finish();
    manifest.problems().throw_if_any(path, UserFault::kInputFile);
}

}  // namespace flagen::models
