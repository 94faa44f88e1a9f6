// Command tlog-go checks our proofs and notes with Go's golang.org/x/mod/sumdb, which shares no code with ours.
//
// Each line of stdin is one JSON case, in hexadecimal where bytes are meant; each line of stdout is "ok" or what is
// wrong with that case.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type testCase struct {
	Kind string   // "inclusion", "consistency", "note" or "sign"
	Size int64    // of the tree
	Old  int64    // of the older tree
	At   int64    // the leaf's number
	Root string   // of the tree
	From string   // root of the older tree
	Leaf string   // the leaf's bytes
	Path []string // the proof
	Key  string   // a vkey, or to sign a private key
	Note string   // a signed note, or the text to sign
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Println(err)
			continue
		}
		answer, err := c.run()
		if err != nil {
			answer = err.Error()
		}
		fmt.Println(answer)
	}
}

func (c testCase) run() (string, error) {
	path := make([]tlog.Hash, len(c.Path))
	for i, text := range c.Path {
		path[i] = hash(text)
	}
	switch c.Kind {
	case "inclusion":
		leaf, _ := hex.DecodeString(c.Leaf)
		return "ok", tlog.CheckRecord(path, c.Size, hash(c.Root), c.At, tlog.RecordHash(leaf))
	case "consistency":
		return "ok", tlog.CheckTree(path, c.Size, hash(c.Root), c.Old, hash(c.From))
	case "note":
		verifier, err := note.NewVerifier(c.Key)
		if err != nil {
			return "", err
		}
		_, err = note.Open([]byte(c.Note), note.VerifierList(verifier))
		return "ok", err
	case "sign":
		signer, err := note.NewSigner(c.Key)
		if err != nil {
			return "", err
		}
		signed, err := note.Sign(&note.Note{Text: c.Note}, signer)
		return hex.EncodeToString(signed), err
	}
	return "", fmt.Errorf("unknown kind %q", c.Kind)
}

func hash(text string) (h tlog.Hash) {
	if n, err := hex.Decode(h[:], []byte(text)); err != nil || n != len(h) {
		panic("not a hash: " + text)
	}
	return h
}
