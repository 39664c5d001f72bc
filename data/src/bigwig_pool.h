#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "flagen/genomics/bigwig_reader.h"

namespace flagen::data {

/// Open readers of many bigWigs, each used by one thread at a time.
class BigWigPool {
  public:
    /// `max_idle` readers stay open between loans, those of the first files used; 0 is half of
    /// what the process may open.
    BigWigPool(std::vector<std::string> files, std::int64_t max_idle);

    /// A reader on loan; goes back at the end of its life.
    class Loan {
      public:
        Loan(BigWigPool& pool, std::size_t file, std::unique_ptr<genomics::BigWigReader> reader)
            : pool_(pool), file_(file), reader_(std::move(reader)) {}
        ~Loan() { pool_.give_back(file_, std::move(reader_)); }
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;
        [[nodiscard]] const genomics::BigWigReader& operator*() const { return *reader_; }
        [[nodiscard]] const genomics::BigWigReader* operator->() const { return reader_.get(); }

      private:
        BigWigPool& pool_;
        std::size_t file_;
        std::unique_ptr<genomics::BigWigReader> reader_;
    };

    /// Opens the file where no idle reader of it is left.
    /// @throws UserError (kInputFile) as BigWigReader::open() does.
    [[nodiscard]] Loan borrow(std::size_t file);

    [[nodiscard]] const std::string& file(std::size_t index) const { return files_[index]; }

  private:
    void give_back(std::size_t file, std::unique_ptr<genomics::BigWigReader> reader) noexcept;

    const std::vector<std::string> files_;
    const std::size_t max_idle_;
    std::mutex mutex_;
    std::size_t num_idle_ = 0;
    std::vector<std::vector<std::unique_ptr<genomics::BigWigReader>>> idle_;  // by file
};

}  // namespace flagen::data
