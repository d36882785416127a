"""A throwaway Kubernetes of one node, in namespaces of its own: everything that it made goes with one process."""
