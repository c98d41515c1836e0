package rivals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/grpc-sse/grpc-sse/bench/internal/baseline"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// nchanConfig is nginx as one would set it up for this and nothing else: a worker for each core, each with a queue for
// connections of its own, no logs, long queues, room for many messages.
var nchanConfig = template.Must(template.New("nginx.conf").Parse(`daemon off;
load_module {{.Module}};
worker_processes auto;
worker_rlimit_nofile {{.Files}};
pid {{.Dir}}/pid;
error_log stderr crit;
{{if .Root}}user root;
{{end}}events { worker_connections {{.Files}}; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_buffer_size 64k;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  nchan_shared_memory_size 2g;
  nchan_message_buffer_length 20000;
  nchan_message_timeout 1h;
  server {
    listen {{.Listen}} reuseport backlog=65535{{if .TLS}} ssl{{end}};
{{- if .TLS}}
    ssl_protocols TLSv1.3;
    ssl_certificate {{.Dir}}/certificate.pem;
    ssl_certificate_key {{.Dir}}/key.pem;
{{- end}}
    location ~ ^/sub/(.+)$ {
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }
    location ~ ^/all/(.+)$ {
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message oldest;
    }
    location ~ ^/pub/(.+)$ {
      nchan_publisher;
      nchan_channel_id $1;
    }
  }
}
`))

// nchanModules is where distributions put nchan's module.
var nchanModules = []string{
	"/usr/lib/nginx/modules/ngx_nchan_module.so",
	"/usr/lib64/nginx/modules/ngx_nchan_module.so",
	"/usr/share/nginx/modules/ngx_nchan_module.so",
}

// findNchan returns nginx and the module, both "" when one is missing.
func findNchan() (nginx, module string) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} { // where Debian puts it is not on everybody's path
		if path, err := exec.LookPath(name); err == nil {
			nginx = path
			break
		}
	}
	for _, file := range nchanModules {
		if _, err := os.Stat(file); err == nil && nginx != "" {
			return nginx, file
		}
	}
	return "", ""
}

func nchanMissing() string {
	if nginx, _ := findNchan(); nginx == "" {
		return "nchan is not installed; as root: make bench-install"
	}
	return ""
}

// nchanTarget is nginx with nchan.
type nchanTarget struct {
	process
	place   target.Place
	options target.Options
	publish publisher
}

func newNchan(place target.Place, options target.Options) target.Target {
	return &nchanTarget{place: place, options: options}
}

// Name implements Target.
func (n *nchanTarget) Name() string { return Nchan }

// Can implements Target.
func (n *nchanTarget) Can(c target.Capability) bool {
	switch c {
	case target.Fanout, target.SlowReaders, target.CatchUp, target.Resume, target.TLS:
		return true
	default:
		return false
	}
}

// Start implements Target.
func (n *nchanTarget) Start(ctx context.Context) error {
	nginx, module := findNchan()
	if nginx == "" {
		return fmt.Errorf("%s", nchanMissing())
	}
	dir, err := filepath.Abs(n.place.Dir)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "nginx.conf")
	n.prepare = func(addr string) error { return n.configure(dir, module, addr) }
	n.env = []string{"NGINX=3;"} // inherited sockets, as in its own upgrades; it tells which is which by the address
	if err := n.start(ctx, n.place, nginx, "-p", dir, "-c", config, "-e", "stderr"); err != nil {
		return err
	}
	n.publish = publisher{addr: n.addr, tls: n.options.TLS}
	return nil
}

// configure writes what nginx reads from dir.
func (n *nchanTarget) configure(dir, module, addr string) error {
	var text bytes.Buffer
	if err := nchanConfig.Execute(&text, struct {
		Dir, Module, Listen string
		Files               int
		TLS, Root           bool // as root its workers would else be a user who may not enter Dir
	}{dir, module, addr, openFiles(), n.options.TLS, os.Getuid() == 0}); err != nil {
		return err
	}
	files := map[string][]byte{"nginx.conf": text.Bytes()}
	if n.options.TLS {
		certificate, key, err := baseline.Certificate()
		if err != nil {
			return err
		}
		files["certificate.pem"], files["key.pem"] = certificate, key
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Stop implements Target.
func (n *nchanTarget) Stop() error {
	return errors.Join(n.publish.close(), n.process.Stop())
}

// PIDs are the master and its workers.
func (n *nchanTarget) PIDs() []int {
	pids := n.process.PIDs()
	for _, master := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
		if err != nil {
			break
		}
		for child := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(child); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Request implements Target.
func (n *nchanTarget) Request(stream, from string) []byte {
	if from == target.First {
		return get("/all/" + stream)
	}
	return get("/sub/" + stream)
}

// Publish implements Target.
func (n *nchanTarget) Publish(ctx context.Context, stream string, payload []byte) error {
	return n.publish.post(ctx, stream, payload)
}

// PublishAhead implements Ahead.
func (n *nchanTarget) PublishAhead(ctx context.Context, stream string, payload []byte) error {
	return n.publish.postAhead(ctx, stream, payload)
}
