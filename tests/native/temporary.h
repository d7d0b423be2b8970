#pragma once

// Files and folders that a test makes for itself; the caller removes them.

#include "check.h"

#include <cstdlib>
#include <string>
#include <unistd.h>

// ends as mkstemp wants it
inline std::string temporary_pattern(const char * name) {
    const char * dir = std::getenv("TMPDIR");
    return std::string(dir ? dir : "/tmp") + "/ann-" + name + "-" + std::string(6, 'X');
}

// the path of a new, empty file
inline std::string temporary_file(const char * name) {
    std::string path = temporary_pattern(name);
    const int fd = mkstemp(&path[0]);
    if (fd < 0) {
        throw test_failure("cannot make the temporary file " + path);
    }
    close(fd);
    return path;
}

inline std::string temporary_directory(const char * name) {
    std::string path = temporary_pattern(name);
    if (!mkdtemp(&path[0])) {
        throw test_failure("cannot make the temporary directory " + path);
    }
    return path;
}
