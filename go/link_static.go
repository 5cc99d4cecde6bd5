// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build adobetarget_static

package adobetarget

// The archive comes first and has all symbols, so that the shared library, which pkg-config names for its folder's
// sake, is not needed any more and is left out. The unwinder goes into the program, too.

// #cgo pkg-config: adobe-target
// #cgo LDFLAGS: -l:libadobe_target.a -static-libgcc -lpthread -lm -ldl -Wl,--as-needed
import "C"
