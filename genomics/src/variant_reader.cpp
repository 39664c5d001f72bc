#include "flagen/genomics/variant_reader.h"

#include <utility>

#include "flagen/error.h"
#include "variant_decode.h"
#include "variant_index.h"
#include "variant_stream.h"

namespace flagen::genomics {

struct VariantReader::State {
    State(const std::string& path, const VariantOptions& options)
        : stream(open_variant_stream(path, options.genotypes)),
          decoder(options.genotypes),
          record(bcf_init()) {
        FLAGEN_CHECK(record != nullptr, "out of memory");
    }

    std::unique_ptr<VariantStream> stream;
    VariantDecoder decoder;
    BcfRecordHandle record;
    std::uint64_t num_given = 0;
};

VariantReader::VariantReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
VariantReader::~VariantReader() = default;
VariantReader::VariantReader(VariantReader&&) noexcept = default;
VariantReader& VariantReader::operator=(VariantReader&&) noexcept = default;

VariantReader VariantReader::open(const std::string& path, const VariantOptions& options) {
    return VariantReader(std::make_unique<State>(path, options));
}

const std::string& VariantReader::path() const { return state_->stream->path(); }

const std::vector<Contig>& VariantReader::contigs() const {
    return state_->stream->header().contigs;
}

const std::vector<std::string>& VariantReader::samples() const {
    return state_->stream->header().samples;
}

bool VariantReader::next(VariantRecord& record) {
    State& state = *state_;
    if (!state.stream->next(state.record.get())) {
        return false;
    }
    const VariantPlace place = state.stream->place();
    state.decoder.decode(state.stream->header().handle.get(), state.record.get(), place, record);
    record.row = state.num_given++;
    record.line_number = place.line_number;
    return true;
}

void VariantReader::set_regions(const std::vector<Interval>& regions) {
    state_->stream->set_regions(join_regions(regions));
    state_->num_given = 0;
}

}  // namespace flagen::genomics
