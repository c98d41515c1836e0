package access

// Remembered is how much is kept of who has places.
func (c *Connections) Remembered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open + len(c.ips) + len(c.principals)
}
