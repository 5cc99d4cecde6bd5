//! Doors into the decision core for this project's own conformance tests, fuzz targets and benchmarks. Nothing here is
//! part of the API: it may change or go in any release.
