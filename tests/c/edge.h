/*
 * The controls of the local edge, over HTTP: what it counted, and how it misbehaves.
 */
#ifndef TESTS_EDGE_H
#define TESTS_EDGE_H

/* What every delivery request gets from now on: a fault such as "{\"type\":\"silence\"}", or "null" for plain
 * answers. */
void edge_answers(const char *edge, const char *fault);

/* What the next delivery requests get: a JSON array of faults. */
void edge_answers_next(const char *edge, const char *faults);

/* What the edge serves as artifact from now on, and decides from. */
void edge_serves(const char *edge, const char *artifact);

/* Forgets what was counted. */
void edge_reset(const char *edge);

/* The report, as JSON; freed with free(). */
char *edge_report(const char *edge);

/* How many delivery requests came since the last reset. */
long edge_requests(const char *edge);

/* Waits until so many have come. */
void edge_wait_for_requests(const char *edge, long at_least);

#endif
