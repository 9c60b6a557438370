; The four axioms of arrows.c, over all 64-bit words: each question is whether there is a word for which
; it is wrong, and each answer has to be "unsat".
(set-logic QF_BV)
(declare-const word (_ BitVec 64))

(push)
(assert (not (= (bvand word #x0000000000ffffff) (bvurem word #x0000000001000000))))
(check-sat)
(pop)

(push)
(assert (not (= (bvand word #x0000000000000003) (bvurem word #x0000000000000004))))
(check-sat)
(pop)

(push)
(assert (not (= (bvlshr word #x0000000000000018) (bvudiv word #x0000000001000000))))
(check-sat)
(pop)

(push)
(assert (bvult word #x0000000001000000))
(assert (not (= (bvor #x8000000003000000 word) (bvadd #x8000000003000000 word))))
(check-sat)
(pop)
