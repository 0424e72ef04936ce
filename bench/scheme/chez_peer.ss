; Chez Scheme as a peer: compiled procedures of the same shape, one code object each, collected in its oldest ordinary generation.
;
; In: a count, then lines. Out: a number for each line. 'all': nanoseconds of (collect 3 3) with all procedures live; 'half': the same with every
; second one dropped just before, and compiled again afterwards; 'bytes': what a procedure takes, everything counted.

(define count (string->number (cadr (command-line))))

; The shape of the tiny function: (a * b) + number, in 32 bits.
(define (make number)
  (compile `(lambda (a b) (fxand (fx+ (fx* a b) ,number) #xffffffff))))

(define procedures (make-vector count #f))

(define (fill! from step)
  (do ([i from (fx+ i step)]) ((fx>= i count))
    (vector-set! procedures i (make i))))

(define (nanoseconds thunk)
  (let ([start (current-time 'time-monotonic)])
    (thunk)
    (let ([past (time-difference (current-time 'time-monotonic) start)])
      (+ (* 1000000000 (time-second past)) (time-nanosecond past)))))

(define (settle) (collect 3 3) (collect 3 3))

(define (collect-half)
  (do ([i 1 (fx+ i 2)]) ((fx>= i count))
    (vector-set! procedures i #f))
  (let ([taken (nanoseconds (lambda () (collect 3 3)))])
    (fill! 1 2)
    (settle)
    taken))

(collect-request-handler void)
(settle)
(define before (bytes-allocated))
(fill! 0 1)
(settle)
(define bytes (/ (- (bytes-allocated) before) count))

(let loop ()
  (let ([line (get-line (current-input-port))])
    (unless (eof-object? line)
      (write (cond
               [(string=? line "all") (nanoseconds (lambda () (collect 3 3)))]
               [(string=? line "half") (collect-half)]
               [(string=? line "bytes") (exact->inexact bytes)]
               [(string=? line "check") ((vector-ref procedures 97) 3 4)]
               [(string=? line "version") (call-with-values scheme-version-number list)]
               [else 'unknown]))
      (newline)
      (flush-output-port (current-output-port))
      (loop))))
