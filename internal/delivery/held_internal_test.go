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
