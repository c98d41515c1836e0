package scenario

// Experiments are all, in the order in which they run and are shown.
func Experiments() []Experiment {
	return []Experiment{
		idleMemoryExperiment(),
		fanOutManyExperiment(),
		fanOutFewExperiment(),
		inFlightExperiment(flightMany, "Events in flight, 10,000 readers", func(s Size) int { return s.Many }, 2e6),
		inFlightExperiment(flightFew, "Events in flight, 1,000 readers", func(s Size) int { return s.Few }, 0.65e6),
		catchUpExperiment(),
		stormExperiment(),
	}
}
