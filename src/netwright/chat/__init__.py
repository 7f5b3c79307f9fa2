"""What a person talks to: language models that answer, on one's own machine.

    engine = Engine(decoding.open(artifact, threads=2), tokenizer)
    for piece in engine.stream([Message("user", "Why is the sky blue?")], Sampling(temperature=0.7)):
        print(piece.text, end="")

`sampling` chooses tokens, `engine` makes text of them over any `Decoder`, `lookup` guesses ahead, `llamacpp` is another
engine of the same shape, `choice` measures which one is best on this machine, `batch` takes several requests at
once. Nothing here knows HTTP, a terminal or a database.
"""
