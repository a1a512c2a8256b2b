package document

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeTakesUTF8AndDropsItsByteOrderMark(t *testing.T) {
	for raw, want := range map[string]string{"": "", "Visa für Ägypten 😀": "Visa für Ägypten 😀", "\ufeffa": "a", "\ufeff": "", "a\x1b\x0c\ufffd": "a\x1b\x0c\ufffd"} {
		if got, err := Decode([]byte(raw)); err != nil || got != want {
			t.Errorf("%q is read as %q, %v", raw, got, err)
		}
	}
}

func TestDecodeRefusesOtherEncodingsAndSaysAtWhichByte(t *testing.T) {
	for name, c := range map[string]struct {
		raw    string
		at     int
		remedy string
	}{
		"Latin-1":                   {"Visa f\xfcr \xc4gypten", 6, "another encoding"},
		"UTF-16, little endian":     {"\xff\xfeV\x00i\x00", 0, "UTF-16"},
		"UTF-16, big endian":        {"\xfe\xff\x00V\x00i", 0, "UTF-16"},
		"UTF-16 without its mark":   {"V\x00i\x00", 1, "NUL"},
		"UTF-32":                    {"\xff\xfe\x00\x00V\x00\x00\x00", 0, "UTF-32"},
		"a program":                 {"\x7fELF\x02\x01\x01\x00", 7, "binary"},
		"an image":                  {"\x89PNG\r\n", 0, "binary"},
		"half a character":          {"caf\xc3", 3, "UTF-8"},
		"a surrogate":               {"a\xed\xa0\x80", 1, "UTF-8"},
		"a NUL after the mark":      {"\ufeffab\x00", 5, "NUL"},
		"a wrong byte far into it":  {strings.Repeat("ä", 1000) + "\xff", 2000, "UTF-8"},
		"after a replacement of it": {"\ufffd\xff", 3, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Decode([]byte(c.raw))
			var refused *EncodingError
			if !errors.As(err, &refused) || text != "" {
				t.Fatalf("read as %q, %v", text, err)
			}
			if refused.Byte != c.at || !strings.Contains(err.Error(), c.remedy) {
				t.Errorf("at byte %d: %s", refused.Byte, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\xff\xfea"))
	f.Add([]byte("\xef\xbb\xbfa\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := Decode(raw)
		var refused *EncodingError
		switch {
		case err == nil && (!utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 || !strings.HasSuffix(string(raw), text)):
			t.Errorf("%q is read as %q", raw, text)
		case err != nil && (!errors.As(err, &refused) || refused.Byte < 0 || refused.Byte >= len(raw)):
			t.Errorf("%q is refused with %v", raw, err)
		}
	})
}
