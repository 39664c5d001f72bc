#pragma once

#include <string>
#include <vector>

namespace flagen::apps {

/// One command of the program: `flagen <name> ...`.
struct Command {
    const char* name;
    const char* summary;                                   ///< One line for `flagen --help`.
    int (*run)(const std::vector<std::string>& arguments);  ///< Returns an ExitCode.
};

int run_data(const std::vector<std::string>& arguments);
int run_train(const std::vector<std::string>& arguments);
int run_predict(const std::vector<std::string>& arguments);
int run_eval(const std::vector<std::string>& arguments);
int run_report(const std::vector<std::string>& arguments);
int run_extract(const std::vector<std::string>& arguments);
int run_info(const std::vector<std::string>& arguments);

}  // namespace flagen::apps
