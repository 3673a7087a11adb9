"""Learning from a corpus, from queries or from judgments.

torch is imported inside (extra `learn`), and what is returned is understood without it.

    static_encoder     `learn_static`: the table of the bundled encoder, learned on the user's texts
    static_training    its steps in torch
"""
