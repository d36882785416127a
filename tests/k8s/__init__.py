"""The chart on a real Kubernetes: a throwaway node of its own (`node/`), and the scenario that is played on it."""
