#pragma once

#include <cstddef>
#include <string>

#include "apps/options/run_config.h"

namespace flagen::apps {

/// What a command is going to do with a data section.
enum class SectionUse { kGenes, kTracks };

/// The section that a command works on: the one that `head` names (the head for its tracks, or "genes"), or, where
/// `head` is empty, the only one that has such targets.
///
/// @throws UserError (kConfig) listing the heads if there is no such section, if it lacks the targets, or if --head is
///         needed to choose one.
[[nodiscard]] std::size_t choose_section(const RunConfig& config, const std::string& head, SectionUse use);

/// The section that `head` names. @throws UserError (kConfig) listing the heads if there is none.
[[nodiscard]] std::size_t section_named(const RunConfig& config, const std::string& head);

}  // namespace flagen::apps
