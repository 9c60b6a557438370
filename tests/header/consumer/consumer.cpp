// A program of somebody else, built against an installed kula: offers a number of no-ops and counts
// what comes back.
#include <kula.hpp>

#include <cstdio>
#include <cstring>

int main()
{
    kula::ring ring;
    if (int error = ring.open(); error < 0) {
        std::fprintf(stderr, "kula_open: %s\n", kula_explain(error));
        return 1;
    }
    int offered = 0;
    while (offered < 100 && ring.nop()) {
        offered++;
    }
    int seen = 0;
    while (ring.outstanding() > 0 && ring.wait() >= 0) {
        while (kula::event event = ring.next()) {
            seen++;
        }
    }
    std::printf("%d of %d\n", seen, offered);
    return ring.close() < 0;
}
