package page_test

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// Everything that the page and its modules name must be there, with a type that browsers accept.
func TestFilesAreServed(t *testing.T) {
	b := bridge(t, func(*http.Request, io.Writer) {})
	base := "http://" + serve(t, b.addr)
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8",
	}
	resp, index := get(t, base+"/")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != types[".html"] {
		t.Fatalf("the page: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", resp.Header)
	}
	wanted := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(index, -1) {
		wanted[m[1]] = true
	}
	_ = fs.WalkDir(os.DirFS("static"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join("static", name))
		for _, m := range regexp.MustCompile(`from '(\.[^']+)'`).FindAllStringSubmatch(string(text), -1) {
			wanted["/static/"+filepath.ToSlash(filepath.Join(filepath.Dir(name), m[1]))] = true
		}
		return err
	})
	if len(wanted) < 10 {
		t.Fatalf("found only %v", wanted)
	}
	for path := range wanted {
		resp, _ := get(t, base+path)
		if want := types[filepath.Ext(path)]; resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s, %s, want %s", path, resp.Status, resp.Header.Get("Content-Type"), want)
		}
	}
	if resp, _ := get(t, base+"/static/none.js"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is not there: %s", resp.Status)
	}
}

// The policy would block these silently in a browser.
func TestPageKeepsItsPolicy(t *testing.T) {
	for _, test := range []struct{ name, pattern, files string }{
		{"an inline script", `<script(?:\s[^>]*)?>[^<]`, "*.html"},
		{"an inline style", `<style|\sstyle=`, "*.html"},
		{"an inline handler", `\son[a-z]+="`, "*.html"},
		{"another origin", `(?:https?:)?//[a-z]+\.[a-z]|@import`, "*.css"},
		{"another origin", `(?:src|href)="(?:https?:)?//`, "*.html"},
		{"another origin", `['"\x60]https?://`, "*.js"},
		{"HTML made of strings", `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|setAttribute\('style'`, "*.js"},
	} {
		bad := regexp.MustCompile(test.pattern)
		for _, folder := range []string{"static", "static/streams"} {
			names, _ := filepath.Glob(filepath.Join(folder, test.files))
			for _, name := range names {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if found := bad.Find(text); found != nil {
					t.Errorf("%s has %s: %q", name, test.name, found)
				}
			}
		}
	}
}

// The parts of the page that know nothing of browsers are tested in node.
func TestModules(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing (apt-get install nodejs): it runs the tests of the page's modules")
	}
	out, err := exec.CommandContext(t.Context(), node, "--test", "testdata/modules.test.mjs").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
