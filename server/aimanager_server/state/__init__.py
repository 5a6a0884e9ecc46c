"""What is remembered between calls: limits, breakers, answers, vital signs."""
