; The axioms of arrows.c, under their names, over all 64-bit words: each question is whether there is a
; word for which it is wrong, and each answer has to be "unsat".
(set-logic QF_BV)
(declare-const word (_ BitVec 64))

; low_24_bits
(push)
(assert (not (= (bvand word #x0000000000ffffff) (bvurem word #x0000000001000000))))
(check-sat)
(pop)

; low_2_bits
(push)
(assert (not (= (bvand word #x0000000000000003) (bvurem word #x0000000000000004))))
(check-sat)
(pop)

; high_40_bits
(push)
(assert (not (= (bvlshr word #x0000000000000018) (bvudiv word #x0000000001000000))))
(check-sat)
(pop)

; bits_apart
(push)
(assert (bvult word #x0000000001000000))
(assert (not (= (bvor #x8000000003000000 word) (bvadd #x8000000003000000 word))))
(check-sat)
(pop)

; holders_bits
(push)
(assert (not (= (bvand word #x0000000003000000)
                (bvmul (bvurem (bvudiv word #x0000000001000000) #x0000000000000004)
                       #x0000000001000000))))
(check-sat)
(pop)

; holders_bits_set
(push)
(assert (not (= (bvor word #x0000000003000000)
                (bvadd word
                       (bvmul (bvsub #x0000000000000003
                                     (bvurem (bvudiv word #x0000000001000000) #x0000000000000004))
                              #x0000000001000000)))))
(check-sat)
(pop)

; holders_bits_set, once more: the sum does not wrap, or it would be less than the word.
(push)
(assert (bvult (bvor word #x0000000003000000) word))
(check-sat)
(pop)

; wrap: what does not fit into 64 bits loses the bit above them, as C says of unsigned arithmetic.
(declare-const sum (_ BitVec 65))
(push)
(assert (bvuge sum #b10000000000000000000000000000000000000000000000000000000000000000))
(assert (not (= (concat #b0 ((_ extract 63 0) sum))
                (bvsub sum #b10000000000000000000000000000000000000000000000000000000000000000))))
(check-sat)
(pop)
