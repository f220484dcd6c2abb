"""What the benchmarks share. Linux only: epoll, /proc, and CPU affinity."""
