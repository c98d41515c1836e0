// Package nginx runs an nginx for a test: with a folder, a config and a port of its own, in the foreground, without
// root.
package nginx

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"text/template"
)

// config leaves everything that has to do with proxying at its default: HTTP/1.0 and `Connection: close` to the target,
// buffering on, a read timeout of 60 s.
var config = template.Must(template.New("nginx.conf").Parse(`daemon off;
worker_processes 1;
pid {{.Dir}}/pid;
error_log stderr warn;
{{if .Root}}user root;
{{end}}events {}
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  server {
    listen {{.Listen}};
    location / {
      proxy_pass http://{{.Target}};
      {{.Location}}
    }
  }
}
`))

// Options are what an nginx is started with.
type Options struct {
	// Target is where requests go, HOST:PORT.
	Target string
	// Location is added to the `location /` block. Default: nothing, all of nginx's defaults.
	Location string
}

// Start starts an nginx that lives as long as the test, and returns its HOST:PORT. It listens when Start returns: the
// socket is made here and inherited, so that no port can be taken in between and nobody has to wait.
func Start(t testing.TB, o Options) string {
	t.Helper()
	executable, err := find()
	if err != nil {
		t.Fatalf("cannot start nginx (`make install` installs it): %v", err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close() //nolint:errcheck // the copy that nginx has stays open

	dir := t.TempDir()
	address := listener.Addr().String()
	var text bytes.Buffer
	err = config.Execute(&text, struct {
		Options
		Dir, Listen string
		Root        bool // nginx's workers would else be a user who may not enter Dir
	}{o, dir, address, os.Getuid() == 0})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, executable, dir, file, socket)
	return address
}

// find looks where Debian puts nginx, too, which is not on everybody's path.
func find() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/nginx")
}

// run starts the process, and ends it when the test does.
func run(t testing.TB, executable, dir, file string, socket *os.File) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), executable, "-p", dir, "-c", file, "-e", "stderr")
	cmd.Env = append(os.Environ(), "NGINX=3;") // the inherited sockets (how nginx hands them on in its own upgrades)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // one slot: the process may end after the test has given up on it
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case err := <-done:
			t.Errorf("nginx ended by itself: %v\n%s", err, stderr.Bytes())
			return
		default:
		}
		// At once, with its workers: they would else wait for streams to end.
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("nginx: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("nginx: %v\n%s", err, stderr.Bytes())
		}
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("nginx: %s", stderr.Bytes())
		}
	})
}
