#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static const char *environment(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : otherwise;
}

char *config_of(int argc, char **argv) {
    return config_with(argc, argv, "");
}

char *config_with(int argc, char **argv, const char *members) {
    const char *local_edge = argc > 1 ? argv[1] : NULL;
    const char *client = environment("TARGET_CLIENT", local_edge ? "localedge" : NULL);
    const char *organization = environment("TARGET_ORGANIZATION", local_edge ? "1234@AdobeOrg" : NULL);
    const char *domain = local_edge ? local_edge : environment("TARGET_SERVER_DOMAIN", NULL);
    int secure = local_edge == NULL && strcmp(environment("TARGET_SECURE", "1"), "0") != 0;
    char *quoted_client, *quoted_organization, *quoted_domain, *network, *config;

    if (client == NULL || organization == NULL) {
        fprintf(stderr,
                "Usage: %s ADDRESS            the address of a local edge, such as 127.0.0.1:8080\n"
                "   or: TARGET_CLIENT=... TARGET_ORGANIZATION=... [TARGET_SERVER_DOMAIN=...] %s\n",
                argv[0], argv[0]);
        exit(2);
    }
    quoted_client = json_quoted(client);
    quoted_organization = json_quoted(organization);
    /* A null is the same as leaving the key out. */
    quoted_domain = domain != NULL ? json_quoted(domain) : text_of("null");
    network = local_edge ? json_quoted(local_edge) : text_of("null");
    config = text_of("{\"client\":%s,\"organization_id\":%s,\"server_domain\":%s,\"cdn_base_path\":%s,\"secure\":%s,"
                     "\"timeout\":%d%s}",
                     quoted_client, quoted_organization, quoted_domain, network, secure ? "true" : "false",
                     atoi(environment("TARGET_TIMEOUT", "0")), members);
    free(quoted_client);
    free(quoted_organization);
    free(quoted_domain);
    free(network);
    return config;
}
