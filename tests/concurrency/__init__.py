"""Gates, slots, pauses and parking: one partition at a time, and many that talk to each other in any order."""
