// SPDX-License-Identifier: Apache-2.0 OR MIT

// Package adobetarget asks Adobe Target's Delivery API which offers to show a visitor, and reports what was shown and
// clicked. It is the native library adobe-target for Go, by cgo; independent, not affiliated with Adobe.
//
// Make one Client and share it: any number of goroutines may use it. A goroutine that waits for a call holds no thread,
// and no code of yours runs on a thread of the library. Contexts end calls, errors are an *Error that works with
// errors.As, and each Status with errors.Is.
//
// docs/go.md in the repository of the library tells how to install it.
package adobetarget
