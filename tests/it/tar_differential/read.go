// Prints how Go's archive/tar, the reader of the container runtimes, reads each archive, one line of JSON for each: read ARCHIVE...
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

type entry struct {
	Path    string            `json:"path"`
	Kind    string            `json:"kind"`
	Size    int64             `json:"size"`
	Mode    int64             `json:"mode"`
	Uid     int               `json:"uid"`
	Gid     int               `json:"gid"`
	Mtime   int64             `json:"mtime"`
	Link    string            `json:"link"`
	Device  *[2]int64         `json:"device"`
	Content string            `json:"content"`
	Xattrs  map[string]string `json:"xattrs"`
}

type archive struct {
	Entries []entry `json:"entries"`
	Refused string  `json:"refused,omitempty"`
}

var kinds = map[byte]string{
	tar.TypeReg:     "file",
	tar.TypeCont:    "file",
	tar.TypeDir:     "dir",
	tar.TypeSymlink: "symlink",
	tar.TypeLink:    "hardlink",
	tar.TypeChar:    "char",
	tar.TypeBlock:   "block",
	tar.TypeFifo:    "fifo",
}

func raw(text string) string {
	return hex.EncodeToString([]byte(text))
}

func view(header *tar.Header, content io.Reader) (entry, error) {
	kind, known := kinds[header.Typeflag]
	if !known {
		kind = fmt.Sprintf("%q", header.Typeflag)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		return entry{}, err
	}
	seen := entry{
		Path: raw(header.Name), Kind: kind, Size: header.Size, Mode: header.Mode, Uid: header.Uid, Gid: header.Gid,
		Mtime: header.ModTime.Unix(), Content: hex.EncodeToString(hash.Sum(nil)), Xattrs: map[string]string{},
	}
	if kind == "symlink" || kind == "hardlink" {
		seen.Link = raw(header.Linkname)
	}
	if kind == "char" || kind == "block" {
		seen.Device = &[2]int64{header.Devmajor, header.Devminor}
	}
	for key, value := range header.PAXRecords {
		if name := strings.TrimPrefix(key, "SCHILY.xattr."); name != key {
			seen.Xattrs[raw(name)] = raw(value)
		}
	}
	return seen, nil
}

func read(path string) archive {
	file, err := os.Open(path)
	if err != nil {
		return archive{Refused: err.Error()}
	}
	defer file.Close()
	reader := tar.NewReader(file)
	entries := []entry{}
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return archive{Entries: entries}
		}
		if err != nil {
			return archive{Refused: err.Error()}
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		seen, err := view(header, reader)
		if err != nil {
			return archive{Refused: err.Error()}
		}
		entries = append(entries, seen)
	}
}

func main() {
	for _, path := range os.Args[1:] {
		line, err := json.Marshal(read(path))
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}
