package delivery

// Held is how many bytes are kept for each connection that is stuck. Nothing may happen meanwhile.
func (d *Server) Held() (bytes []int) {
	for _, s := range d.shards {
		for _, c := range s.conns {
			bytes = append(bytes, cap(c.rest))
		}
	}
	return bytes
}

// Open is how many connections shards hold.
func (d *Server) Open() int { return int(d.open.Load()) }
