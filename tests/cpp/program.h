/* What the programs of this folder share: a ring on the backend under test, and what is expected. */
#ifndef KULA_TESTS_CPP_PROGRAM_H
#define KULA_TESTS_CPP_PROGRAM_H

#include <kula.hpp>

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace program
{

inline int failures = 0;

/* Says which sentence was false; the program goes on. */
inline void expect(bool holds, const char *sentence)
{
    if (!holds) {
        std::printf("false: %s\n", sentence);
        failures++;
    }
}

/* A warning is a failure: lost buffers are reported by one. */
inline void log(void *, int level, const char *text)
{
    if (level <= KULA_LOG_WARNING) {
        std::printf("logged: %s\n", text);
        failures++;
    }
}

inline kula_config config()
{
    kula_config wanted = KULA_CONFIG_INIT;
    wanted.log = log;
    return wanted;
}

inline kula::ring open()
{
    kula::ring ring;
    if (int error = ring.open(config()); error < 0) {
        std::fprintf(stderr, "kula_open: %s\n", kula_explain(error));
        std::exit(1);
    }
    return ring;
}

/* A pipe whose ends close with it. */
class channel
{
public:
    channel()
    {
        expect(pipe(ends_) == 0, "there is a pipe");
    }
    channel(const channel &) = delete;
    channel &operator=(const channel &) = delete;
    ~channel()
    {
        close(ends_[0]);
        close(ends_[1]);
    }
    int out() const
    {
        return ends_[0];
    }
    int in() const
    {
        return ends_[1];
    }

private:
    int ends_[2];
};

/* Runs the ring until nothing is under way, and hands each event on. */
template <class Handler> void run(kula::ring &ring, Handler handle)
{
    while (ring.outstanding() > 0) {
        if (ring.wait(std::chrono::seconds(60)) < 0) {
            expect(false, "the ring can be waited for");
            return;
        }
        while (kula::event event = ring.next()) {
            handle(event);
        }
    }
}

inline void run(kula::ring &ring)
{
    run(ring, [](kula::event &) {});
}

inline int finish()
{
    expect(kula_misuse_count() == 0, "nothing was misused");
    return failures > 0;
}

} // namespace program

#endif
