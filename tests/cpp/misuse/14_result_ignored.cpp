// Misuse 14: what take gives is not looked at.
//
// g++:     ignoring return value of 'kula::buffer kula::event::take\(\) &', declared with attribute 'nodiscard'
// clang++: ignoring return value of (function declared with|type 'kula::buffer' declared with|.*) ?'nodiscard' attribute
#include <kula.hpp>

int outcome(kula::event &event);

int outcome(kula::event &event)
{
#ifdef CORRECTED
    kula::buffer buffer = event.take();
    return event.result();
#else
    event.take();
    return event.result();
#endif
}
