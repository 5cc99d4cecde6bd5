/* Which Target the examples talk to. */
#ifndef EXAMPLES_CONFIG_H
#define EXAMPLES_CONFIG_H

/*
 * The configuration of the client, as JSON; freed with free(). Ends the program with a usage text when it is not told
 * whom to talk to:
 *
 *     quickstart 127.0.0.1:8080                                  a local edge (target-local-edge)
 *     TARGET_CLIENT=acme TARGET_ORGANIZATION=1234@AdobeOrg quickstart     Adobe Target
 *
 * More from the environment: TARGET_SERVER_DOMAIN, TARGET_SECURE=0 (plain HTTP), TARGET_TIMEOUT (milliseconds).
 */
char *config_of(int argc, char **argv);

/*
 * The same with more members, each behind a comma (",\"retry_clicks\":true"). Of a local edge that serves an artifact,
 * on-device decisioning gets that one.
 */
char *config_with(int argc, char **argv, const char *members);

#endif
