#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace flagen::testing {

/// Runs the project's Python interpreter (FLAGEN_VENV_PYTHON) with `words` as its command line and
/// returns what it printed. Throws when Python fails.
inline std::string run_interpreter(std::vector<std::string> words) {
    int ends[2];
    if (::pipe(ends) != 0) {
        throw std::runtime_error("pipe failed");
    }
    words.insert(words.begin(), FLAGEN_VENV_PYTHON);
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        ::setenv("PYTHONIOENCODING", "utf-8", 1);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    ::close(ends[1]);
    std::string output;
    char block[4096];
    ssize_t got = 0;
    while ((got = ::read(ends[0], block, sizeof(block))) > 0) {
        output.append(block, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error("Python failed (" + std::string(FLAGEN_VENV_PYTHON) + "):\n" +
                                 output);
    }
    return output;
}

/// Runs the text of a script with `arguments` as sys.argv[1:].
inline std::string run_python(const std::string& script,
                              const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> words = {"-c", script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run_interpreter(std::move(words));
}

/// The same for a script in a file.
inline std::string run_python_file(const std::string& path,
                                   const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> words = {path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run_interpreter(std::move(words));
}

/// Whether the interpreter can import `module`; where it cannot, a test skips with the reason.
inline bool python_has(const std::string& module) {
    return run_python(
               "import importlib.util as u, sys; print(int(u.find_spec(sys.argv[1]) is not None))",
               {module}) == "1\n";
}

}  // namespace flagen::testing
