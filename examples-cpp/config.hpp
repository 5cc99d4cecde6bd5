/*
 * Which edge the examples go to: a local one, whose address is the argument, or Adobe's, by variables of the
 * environment.
 */
#ifndef EXAMPLES_CONFIG_HPP
#define EXAMPLES_CONFIG_HPP

#include <cstdlib>
#include <iostream>
#include <string>

#include "adobe_target.hpp"

inline std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
}

/* The configuration of the client. Without an edge to go to it ends the program. */
inline std::string config_of(int argc, char** argv) {
    using adobe_target::quote;
    const std::string client = environment("TARGET_CLIENT"), organization = environment("TARGET_ORGANIZATION");
    const std::string timeout = environment("TARGET_TIMEOUT");
    const std::string times = timeout.empty() ? "" : ",\"timeout\":" + timeout;
    if (argc > 1) {
        return R"({"client":"localedge","organization_id":"1234@AdobeOrg","secure":false,"server_domain":)" +
               quote(argv[1]) + times + "}";
    }
    if (client.empty() || organization.empty()) {
        std::cerr << "Usage: " << argv[0] << " ADDRESS            the address of a local edge, such as 127.0.0.1:8080\n"
                  << "   or: TARGET_CLIENT=... TARGET_ORGANIZATION=... " << argv[0] << '\n';
        std::exit(2);
    }
    return "{\"client\":" + quote(client) + ",\"organization_id\":" + quote(organization) + times + "}";
}

#endif
