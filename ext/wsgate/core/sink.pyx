"""The abstract sink: the core's only way out.

Owns nothing. Contract: after ``carry`` returned 1, the core sends nothing more to that slot until
its owner calls ``Delivery.resume``. Cost: one virtual call for each write.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize


cdef class Sink:
    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        raise TypeError("a Sink must implement send")

    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2:
        raise TypeError("a Sink must implement carry")

    cdef bint awaited(self) except -1:
        return True


cdef class NullSink(Sink):
    """Accepts everything and keeps nothing: measures the core alone."""

    cdef readonly size_t bytes

    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        cdef size_t total = 0
        cdef uint32_t at
        for at in range(count):
            total += parts[at].iov_len
        self.bytes += total
        return <Py_ssize_t>total

    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2:
        self.bytes += size
        return 0


cdef class PythonSink(Sink):
    """A sink written in Python: override ``on_send`` and ``on_carry``. For tests and experiments."""

    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        return self.on_send(slot, [
            PyBytes_FromStringAndSize(<const char*>parts[at].iov_base, parts[at].iov_len)
            for at in range(count)
        ])

    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2:
        return self.on_carry(slot, PyBytes_FromStringAndSize(data, size))

    cdef bint awaited(self) except -1:
        return self.on_awaited()

    def on_send(self, slot: int, parts: list) -> int:
        """Bytes accepted of the concatenated `parts`, 0 when it would block, -1 when broken."""
        raise NotImplementedError

    def on_carry(self, slot: int, rest: bytes) -> int:
        """1 while `rest` is held, 0 if it went out, -1 when broken."""
        raise NotImplementedError

    def on_awaited(self) -> bool:
        """Whether a long flush is to make way for something else."""
        return True
