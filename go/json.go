// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"bytes"
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// writer writes a JSON object member by member: JSON texts of the caller go in digit for digit. What is empty is left
// out. The first error stays.
type writer struct {
	text []byte
	err  error
}

func newWriter(size int) *writer {
	return &writer{text: append(make([]byte, 0, size), '{')}
}

// end gives the object, with a NUL behind it that does not count as its part.
func (w *writer) end() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	w.text = append(w.text, '}', 0)
	return w.text[:len(w.text)-1], nil
}

func (w *writer) key(key string) {
	if last := w.text[len(w.text)-1]; last != '{' {
		w.text = append(w.text, ',')
	}
	w.text = appendString(w.text, key)
	w.text = append(w.text, ':')
}

func (w *writer) textual(key, value string) {
	if value != "" {
		w.key(key)
		w.text = appendString(w.text, value)
	}
}

func (w *writer) boolean(key string, value *bool) {
	if value != nil {
		w.key(key)
		w.text = strconv.AppendBool(w.text, *value)
	}
}

func (w *writer) flag(key string, value bool) {
	if value {
		w.boolean(key, &value)
	}
}

func (w *writer) integer(key string, value int64) {
	w.key(key)
	w.text = strconv.AppendInt(w.text, value, 10)
}

func (w *writer) count(key string, value int64) {
	if value != 0 {
		w.integer(key, value)
	}
}

func (w *writer) optionalCount(key string, value *int) {
	if value != nil {
		w.integer(key, int64(*value))
	}
}

func (w *writer) duration(key string, value time.Duration) {
	if value != 0 {
		w.integer(key, ceilMilliseconds(value))
	}
}

func (w *writer) optionalDuration(key string, value *time.Duration) {
	if value != nil {
		w.integer(key, ceilMilliseconds(*value))
	}
}

func (w *writer) texts(key string, values []string) {
	if len(values) > 0 {
		w.key(key)
		w.text = appendStrings(w.text, values)
	}
}

// value writes anything that encoding/json can, and texts that are JSON already as they are.
func (w *writer) value(key string, value any) {
	if w.err != nil || value == nil {
		return
	}
	text, err := jsonOf(key, value)
	if err != nil {
		w.err = err
		return
	}
	if text != nil {
		w.key(key)
		w.text = append(w.text, text...)
	}
}

// object writes a nested object, unless it has no members.
func (w *writer) object(key string, members func(*writer)) {
	before := len(w.text)
	w.key(key)
	w.text = append(w.text, '{')
	begun := len(w.text)
	members(w)
	if len(w.text) == begun {
		w.text = w.text[:before]
		return
	}
	w.text = append(w.text, '}')
}

// extra writes members that have no field, and refuses those that have one: what is given twice would be refused by the
// library only where the field is written.
func (w *writer) extra(of string, fields map[string]string, values map[string]any) {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if field, ok := fields[spelled(key)]; ok {
			if w.err == nil {
				w.err = newError(ErrInvalidOptions, "validate", key,
					"`"+key+"` cannot be in "+of+".Extra: set the field "+of+"."+field)
			}
			return
		}
		w.value(key, values[key])
	}
}

// spelled makes one of the spellings of a key, which may be snake_case or camelCase.
func spelled(key string) string { return strings.ReplaceAll(strings.ToLower(key), "_", "") }

func jsonOf(field string, value any) ([]byte, error) {
	switch text := value.(type) {
	case json.RawMessage:
		return checked(field, text)
	case []byte:
		return checked(field, text)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, newError(ErrInvalidJSON, "validate", field, "`"+field+"` cannot be written as JSON: "+err.Error())
	}
	return text, nil
}

// checked refuses a text that would end its own value and go on with others, or that C would see the beginning of.
func checked(field string, text []byte) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, newError(ErrInvalidJSON, "validate", field, "`"+field+"` is no JSON: it has a NUL byte")
	}
	if !json.Valid(text) {
		return nil, newError(ErrInvalidJSON, "validate", field, "`"+field+"` is no JSON")
	}
	return text, nil
}

// ceilMilliseconds rounds up: a duration that is not zero stays so.
func ceilMilliseconds(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d > 0 && d%time.Millisecond != 0 {
		ms++
	}
	return ms
}

func appendStrings(text []byte, values []string) []byte {
	text = append(text, '[')
	for i, value := range values {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendString(text, value)
	}
	return append(text, ']')
}

func appendString(text []byte, value string) []byte {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(value) // of a string, which always succeeds
			return append(text, quoted...)
		}
	}
	text = append(text, '"')
	text = append(text, value...)
	return append(text, '"')
}

var errNotJSON = errors.New("it is no JSON object")

// members hands over the members of an object without looking into their values: the texts are parts of the object's
// own. The library has made the object, so what is inside is JSON.
func members(object []byte, member func(key, value []byte) error) error {
	at := skipSpace(object, 0)
	if at >= len(object) || object[at] != '{' {
		return errNotJSON
	}
	at = skipSpace(object, at+1)
	if at < len(object) && object[at] == '}' {
		return nil
	}
	for {
		end := skipValue(object, at)
		if end < 0 || end-at < 2 || object[at] != '"' {
			return errNotJSON
		}
		key := object[at+1 : end-1]
		at = skipSpace(object, end)
		if at >= len(object) || object[at] != ':' {
			return errNotJSON
		}
		at = skipSpace(object, at+1)
		if end = skipValue(object, at); end < 0 {
			return errNotJSON
		}
		if err := member(key, object[at:end:end]); err != nil {
			return err
		}
		at = skipSpace(object, end)
		if at >= len(object) || (object[at] != ',' && object[at] != '}') {
			return errNotJSON
		}
		if object[at] == '}' {
			return nil
		}
		at = skipSpace(object, at+1)
	}
}

func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// skipValue gives the end of the value that begins there, or -1.
func skipValue(text []byte, at int) int {
	depth := 0
	for begin := at; at < len(text); {
		switch text[at] {
		case '"':
			if at = skipString(text, at); at < 0 {
				return -1
			}
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				if at == begin {
					return -1
				}
				return at
			}
			depth--
			if depth == 0 {
				return at + 1
			}
		case ',', ':', ' ', '\n', '\r', '\t':
			if depth == 0 {
				if at == begin {
					return -1
				}
				return at
			}
		}
		at++
	}
	return -1
}

func skipString(text []byte, at int) int {
	for at++; at < len(text); at++ {
		rest := bytes.IndexByte(text[at:], '"')
		if rest < 0 {
			return -1
		}
		escaped := false
		for i := at + rest - 1; i >= at && text[i] == '\\'; i-- {
			escaped = !escaped
		}
		at += rest
		if !escaped {
			return at + 1
		}
	}
	return -1
}

// elements hands over the elements of an array.
func elements(array []byte) ([]json.RawMessage, error) {
	if array == nil {
		return nil, nil
	}
	var values []json.RawMessage
	if err := json.Unmarshal(array, &values); err != nil {
		return nil, err
	}
	return values, nil
}
