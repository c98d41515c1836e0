package routetable

import "net"

// BaseURL is the URL under which the machine itself reaches a listener's HOST:PORT: one that listens on every address
// is reached by localhost.
func BaseURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
