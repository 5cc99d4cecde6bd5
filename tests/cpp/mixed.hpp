/* What the file without exceptions has for the one with them. */
#ifndef TESTS_MIXED_HPP
#define TESTS_MIXED_HPP

#include <string>

/* Asks an edge that refuses. The code of the error. */
std::string refused_without_exceptions(const std::string& config);

/* Destroys a client inside a callback of the other file's. */
void destroy_without_exceptions(const std::string& config);

#endif
