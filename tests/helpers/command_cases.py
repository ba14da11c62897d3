"""Hostile arguments for every command of the trainer's index."""

# FILE is a file, DIR a folder, MODEL a tiny model folder, PICTURES captioned pictures, JUNK bytes that are nothing
# what the index calls a command: its hostile arguments, one case a line
CASES = {
    "evidence sheet": """
        --model nowhere
        --model FILE
        --out FILE
        --out FILE/x
        --nothing
    """,
    "evaluate": """
        --limit 0
        --limit -1
        --limit x
        --minutes nan
        --minutes 0
        --minutes inf
        --batch 0
        --batch 1e9
        --json DIR
        --json FILE/x.json
        --tokens x.txt
        --tokens DIR
        --model nowhere
        --verifier nowhere
        --prompts nowhere
        --prompts JUNK --model MODEL
        --device nowhere
        --device meta
        --set steps
        --tags x
        --split x
        --quick --prompts FILE --model MODEL
    """,
    "bench speed": """
        --runs 0
        --against FILE
        --against DIR
        --json DIR
        --json FILE/x.json
    """,
    "evaluate compare": """
        --limit 1
        --model nowhere
        --model MODEL --against nowhere
        --model MODEL --against FILE
        --model MODEL --limit 0
        --model MODEL --batch 0
        --model MODEL --json DIR
        --model MODEL --json FILE/x.json
        --model MODEL --verifier nowhere
        --model MODEL --device nowhere
        --model MODEL --set steps
    """,
    "evidence tune": """
        --per-tag 0
        --out DIR
        --out FILE/x.json
        --best DIR
        --only x
        --model nowhere
        --device nowhere
    """,
    "tokenizer photos": """
        nowhere
        FILE
        DIR --limit-mib nan
        DIR --limit-mib 0
        DIR --processes 0
        DIR --out DIR
        DIR --out x.png
        DIR --out FILE/x.safetensors
        DIR --size 0
    """,
    "evidence failures": """
        --record nowhere
        --record JUNK
        --record DIR
        --record FILE
    """,
    "evidence freeform": """
        --out DIR
        --out FILE/x.json
        --model nowhere
        --verifier nowhere
        --device nowhere
    """,
    "evidence geneval": """
        nowhere
        JUNK
        DIR
        PROMPTS --samples 0
        PROMPTS --limit 0
        PROMPTS --out FILE
        PROMPTS --model nowhere --out DIR
        PROMPTS --model MODEL --device nowhere --out DIR
    """,
    "evidence card": """
        --model nowhere
        --model FILE
        --model DIR
    """,
    "evidence words": """
        nowhere
        FILE
        DIR
    """,
    "evidence ablate": """
        --seeds 0
        --minutes nan
        --minutes -1
        --steps -1
        --batch 0
        --rows 2
        --scenes 0
        --objects 0
        --processes 0
        --workers -1
        --out FILE
        --codec nowhere --out DIR
        --levels 1
        --device nowhere --out DIR
        --device meta --out DIR
        --arms x
    """,
    "tokenizer measure": """
        --model nowhere
        --out DIR
        --sheet x.txt
        --sheet x
        --sheet FILE/x.png
        --photos nowhere
        --photos JUNK
        --world mars
        --world world_256
        --world world_256 --atlas nowhere
        --scenes 0
        --photos DIR
    """,
    "atlas build": """
        --npm nowhere
        --npm DIR
        --npm FILE
        nowhere --npm DIR
    """,
    "atlas look": """
        nowhere --out DIR
        FILE --out DIR
        DIR --out DIR --pairs -1
    """,
    "evaluate repaint": """
        --limit 0
        --limit 76
        --kinds x
        --world mars
        --world world_256 --model MODEL
        --model nowhere
        --verifier nowhere
        --json DIR
        --beside nowhere
        --beside JUNK
        --beside DIR
        --batch 0
        --device nowhere
        --set steps
    """,
    "evaluate prompts": """
        --world mars
        --world world_256 --atlas nowhere --out DIR
        --objects 0
        --objects 99999 --out DIR
        --out FILE
    """,
    "evidence ground": """
        --objects 1
        --scenes 0
        --unseen 0
        --per-tag -1
        --snapped 2
        --workers -1
        --world mars
        --world world_256 --per-tag 0 --out DIR
        --codec nowhere --out DIR
        --out FILE
        --out FILE/x
        --verifier nowhere --out DIR
        --device nowhere --out DIR
        --device meta --out DIR
    """,
    "evidence ambiguity": """
        --ground nowhere
        --ground DIR
        --ground FILE
        --tokens 0
        --nearest 0
        --json DIR
        --json FILE/x.json
        --device nowhere
    """,
    "evidence credit": """
        --ground nowhere --out DIR
        --ground DIR --out DIR2
        --ground nowhere --predict
        --out FILE
        --study x
        --arms x
        --seeds 0
        --minutes 0
        --minutes nan
        --steps 0
        --batch 0
        --rows 0
        --rows 2
        --lr 0
        --decay 2
        --checks 0
        --cards -1
        --size x
        --device nowhere --out DIR
    """,
    "evidence healthy": """
        --run nowhere
        --run DIR
        --run FILE
        --out FILE
    """,
    "evidence tables": """
        --limit 0
        --only x
        --out FILE
        --measure --model nowhere --out DIR
        --measure --verifier nowhere --out DIR
        --measure --device nowhere --out DIR
    """,
    "judge": """
        --minutes 0
        --minutes nan
        --steps -2
        --batch 0
        --lr nan
        --lr -1
        --objects 0
        --objects 99999 --out DIR
        --check 0
        --seed -1
        --device nowhere --out DIR
        --device meta --out DIR
        --log-every 0
        --out FILE
        --save-every 0
        --world mars
        --world world_256 --atlas nowhere --out DIR
    """,
    "tokenizer": """
        --levels 1
        --levels 0
        --image-size 0
        --image-size 130 --out DIR
        --patch 0
        --patch 7 --out DIR
        --objects 0
        --objects 99999 --out DIR
        --init nowhere --out DIR
        --init JUNK --out DIR
        --images nowhere --out DIR
        --images JUNK --out DIR
        --images PICTURES --images-share nan --out DIR
        --images PICTURES --images-share 2 --out DIR
        --blend 0 --out DIR
        --blend nan --out DIR
        --minutes 0 --out DIR
        --minutes nan
        --steps -1
        --batch 0
        --lr nan
        --lr -1
        --augment 2
        --workers -1
        --seed -1
        --device nowhere --out DIR
        --log-every 0
        --save-every 0
        --measure-on 0
        --out FILE
        --out FILE/x
    """,
    "tokens": """
        nowhere --out DIR
        FILE --out DIR
        JUNK --out DIR
        DIR --out DIR
        PICTURES --out FILE
        PICTURES --out FILE/x
        PICTURES --out DIR --codec nowhere
        PICTURES --out DIR --codec DIR
        PICTURES --out DIR --views 0
        PICTURES --out DIR --shard-size 0
        PICTURES --out DIR --processes 0
        PICTURES --out DIR --crop 0
        PICTURES --out DIR --crop nan
        PICTURES --out DIR --seed -1
        PICTURES --out DIR --device nowhere
        PICTURES --out DIR --device meta
        hf:a/b --out DIR
    """,
    "train": """
        nothing
        ../folder
        folder --out DIR
        folder data.path=nowhere --out DIR
        folder lr=x
        folder data.path=JUNK --out DIR
        folder data.held_out=1
        folder steps=0
        folder x=1
        folder =
        emoji_cpu --codec nowhere --out DIR
        emoji_cpu --codec DIR --out DIR2
        emoji_cpu --init DIR --out DIR2
        emoji_cpu --out FILE
        emoji_cpu --out FILE/x
        emoji_cpu --device nowhere --out DIR
        emoji_cpu --device meta --out DIR
        emoji_cpu --threads -1
        emoji_cpu --stop-after nan
        emoji_cpu data.styles=() --out DIR
        emoji_cpu data.n_objects=0
        emoji_cpu data.n_objects=9999 --out DIR
        emoji_cpu data.styles=('x',) --out DIR
    """,
    "plan": """
        nothing
        emoji_cpu --gpus 0
        emoji_cpu lr=x
        emoji_cpu --gpus x
    """,
    "bench": """
        nothing
        gce --device tpu
        gce --shape x
        gce --shape 1,2
        gce --shape 0,1,1
        gce --seconds nan
        table --out DIR
    """,
    "bench train": """
        --device tpu
        --batch 0
        --seconds nan
        --seconds x
    """,
    "bench scaling": """
        --device tpu
        --kinds x
        --processes 0
        --processes x
        --depth 0
        --batch 0
        --seconds nan
    """,
    "bench pipeline": """
        --device tpu
        --runs 0
        --runs x
        --against nowhere
    """,
    "bench amused": """
        --device tpu
        --runs 0
        --runs x
        --side 17
        --out FILE
        --out FILE/x
    """,
    "bench nl": """
        --device tpu
        --device cpu
        --runs 0
        --steps x
        --steps 257
        --tiny --device cpu --out FILE
    """,
}
COMMANDS = {name: [line.strip() for line in lines.strip().splitlines()] for name, lines in CASES.items()}
