// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build !adobetarget_static

package adobetarget

// #cgo pkg-config: adobe-target
import "C"
