/* kula.hpp - Kula for C++17 and later: the same library, with buffers as objects that move.
 *
 * Header only, over the functions of kula.h, which has the laws and the reference; each class and
 * member function here names the function that it calls and says what is different about it. There
 * is no other state and no other cost: handing a buffer over compiles to what the C call compiles to.
 *
 * A whole program (tests compile and run this very text):
 *
 *     #include <kula.hpp>
 *     #include <cstdio>
 *     #include <fcntl.h>
 *
 *     using namespace std::chrono_literals;
 *
 *     int main(int argc, char **argv)
 *     {
 *         kula::ring ring; // closed at the end of main, when nothing is under way any more
 *         if (int error = ring.open(); error < 0) {
 *             return std::fprintf(stderr, "kula_open: %s\n", kula_explain(error)), 1;
 *         }
 *         int fd = open(argc > 1 ? argv[1] : "/etc/hostname", O_RDONLY | O_CLOEXEC);
 *         kula::buffer buffer = ring.alloc(4096);
 *         ring.read(fd, std::move(buffer), 4096, 0); // the ring has it: buffer is empty now
 *         ring.wait(5s);
 *         while (kula::event event = ring.next()) {
 *             buffer = event.take(); // it comes home, once, whatever the result
 *             if (event.result() < 0) {
 *                 std::fprintf(stderr, "%s\n", event.explain());
 *             } else {
 *                 std::fwrite(buffer.data(), 1, std::size_t(event.result()), stdout);
 *             }
 *         }
 *         ring.close_fd(fd); // never under an operation that names it
 *     }                      // what a variable still holds is given back here
 *
 * Errors are values, as in C, and nothing here throws: an object that could not be made is empty and
 * tests false, calls that own nothing return 0 or a negative errno, operations tell in their event.
 * So programs with and without exceptions (-fno-exceptions, -fno-rtti) use it in the same way. One
 * that throws says `throw std::system_error(kula::error_code(error))`; destructors do the rest.
 *
 * What the compiler does about mistakes:
 *
 *  - Copying a buffer, handing one over without std::move, reading into shared bytes, writing to
 *    them, taking from an event that was not named and tested: they do not compile.
 *  - Not using what alloc or take give: a warning, everywhere ([[nodiscard]]).
 *  - Using a buffer after it was moved or handed over: clang -Wconsumed, clang-tidy's
 *    bugprone-use-after-move, clang --analyze, and g++ and clang++ when they optimise.
 *  - Losing a buffer: cannot happen, the destructor gives it back.
 *
 * docs/cpp.md has the table of what each of them finds.
 *
 * How to read: kula/buffer.hpp (buffer, ref, vec), kula/event.hpp (op, event), kula/ring.hpp, and,
 * when they are needed, kula/pool.hpp and kula/scope.hpp.
 */
#ifndef KULA_HPP
#define KULA_HPP

#include "kula/buffer.hpp"
#include "kula/event.hpp"
#include "kula/pool.hpp"
#include "kula/ring.hpp"
#include "kula/scope.hpp"

#endif
