// Misuse 21: an event is copied, so that its buffer could be taken twice.
//
// g++:     error: use of deleted function 'kula::event::event\(const kula::event&\)'
// clang++: error: call to deleted constructor of 'kula::event'
#include <kula.hpp>

bool take_both(kula::event &event);

bool take_both(kula::event &event)
{
#ifdef CORRECTED
    kula::buffer first = event.take();
    kula::buffer second = event.take();
#else
    kula::event copy = event;
    kula::buffer first = event.take();
    kula::buffer second = copy.take();
#endif
    return first && second;
}
