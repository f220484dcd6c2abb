"""Shared code of the benchmarks. Linux only: it uses epoll, /proc and CPU affinity."""
