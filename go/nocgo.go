// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build !cgo

package adobetarget

// A compiler error that says what is missing.
var _ = adobetarget_needs_cgo_set_CGO_ENABLED_1_and_install_a_C_compiler
