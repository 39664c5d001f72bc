#pragma once

#include <string>
#include <vector>

#include "apps/options/run_config.h"
#include "apps/runtime/device.h"

namespace flagen::apps {

struct RunData;

/// Checksums of what one data section of a run read.
struct InputDigests {
    std::string section;            ///< DataConfig::head()
    std::string genome_md5;         ///< FastaSummary::md5
    std::string matrix_sha256;      ///< of the expression table's file; empty without genes
    std::string annotation_sha256;  ///< of the annotation's file; empty without genes
    std::string tracks_sha256;      ///< of table, sizes of the bigWigs or the cache; empty without tracks

    [[nodiscard]] static InputDigests of(const DataConfig& config, const RunData& data);
};

/// One digest of configuration and inputs of all sections: a run resumes only where it is equal.
[[nodiscard]] std::string digest_of_run(const RunConfig& config, const std::vector<InputDigests>& inputs);

/// "flagen train params.json ..." with arguments quoted where a shell needs it.
[[nodiscard]] std::string quoted_command(const std::string& command, const std::vector<std::string>& arguments);

/// Time in UTC as 2026-01-31T12:00:00Z; SOURCE_DATE_EPOCH replaces the clock for reproducible files.
[[nodiscard]] std::string utc_now();

/// Writes run.json: versions, git hash, host, device and precision, command line, time, checksums of the inputs (of several
/// sections with the section before each name, "human_genome_md5").
void write_run_record(const std::string& path, const std::string& command_line, const RunDevice& device,
                      models::Precision precision, const std::vector<InputDigests>& inputs);

}  // namespace flagen::apps
